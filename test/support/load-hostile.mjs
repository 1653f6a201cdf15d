/**
 * Loads the model files that it is told, each as a server does: the engine with its self-tests, and the vocabulary. A
 * file that ends the process is a crash; what is merely refused is not.
 */
import { loadEngine } from '../../dist/engine/load-engine.js';
import { loadModelText } from '../../dist/serving/text/index.js';

const [config] = process.argv.slice(2).map((text) => JSON.parse(text));

process.on('message', async (modelPath) => {
  try {
    const loaded = await loadEngine({ ...config, modelPath }, { onProgress() {}, onLog() {} });
    loaded.dispose();
    const text = loadModelText(modelPath);
    text.tokenizer.encode('Hello, wörld! <|im_start|>\n', {});
    text.dispose();
    process.send({ loaded: true });
  } catch (error) {
    process.send({ loaded: false, message: String(error.message) });
  }
});
process.on('disconnect', () => process.exit());
