/** The engine over the native step against other implementations' numbers. */
import { referenceContract, referenceFixtures } from '../../core/src/generation/testing/reference-contract.ts'
import { loadEngine } from './support/load-engine.ts'
import { refusalOf } from './support/refusal.ts'

referenceContract(
  'native',
  loadEngine,
  referenceFixtures.filter((name) => !refusalOf(name)),
)
