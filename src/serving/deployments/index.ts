export { createDeployments, type Deployment, type Deployments } from './deployments.js';
