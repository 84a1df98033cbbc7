/** Steps without Node under ThreadSanitizer. */
import { sanitizedSteps } from './support/sanitized-steps.ts'

sanitizedSteps('thread')
