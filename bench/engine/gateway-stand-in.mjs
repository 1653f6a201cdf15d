/** Takes an engine's messages as the gateway does, and says when it has one. Ends when the engine does. */
import process from 'node:process';

process.on('message', () => process.send(0));
process.on('disconnect', () => process.exit(0));
