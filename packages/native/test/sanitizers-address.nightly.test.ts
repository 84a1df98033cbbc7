/** Steps without Node under AddressSanitizer. */
import { sanitizedSteps } from './support/sanitized-steps.ts'

sanitizedSteps('address,undefined')
