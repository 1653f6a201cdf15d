export { Admission, type AdmissionOptions, type Visit } from './admission.js';
