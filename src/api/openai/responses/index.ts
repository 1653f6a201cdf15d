export { responses } from './routes.js';
