import { engineContract } from '../../core/src/generation/testing/engine-contract.ts'
import { nativeRefusal } from '../src/index.ts'
import { loadEngine } from './support/load-engine.ts'

engineContract('the native step', {
  load: loadEngine,
  tolerance: 0,
  refusal: (config) => nativeRefusal([config]),
})
