/** The engine over the native step against other implementations' numbers. */
import { referenceContract } from '../../core/src/generation/testing/reference-contract.ts'
import { loadEngine } from './support/load-engine.ts'

referenceContract('native', loadEngine)
