export type { BatchingPolicyName } from './batching-policy.js';
export {
  AdmissionError,
  type ScheduledSequence,
  type ScheduleRequest,
  Scheduler,
  type SchedulerCounters,
  type SchedulerOptions,
  type StepPlan,
} from './scheduler.js';
export type { Sequence } from './sequence.js';
