import { loadEngine } from '../testing/fixtures.ts'
import { engineContract } from './testing/engine-contract.ts'

// Float32 sums over some dozens of terms, in another order; logits of these models are of size 1 to 10.
engineContract('graphs on ONNX Runtime', { load: loadEngine, tolerance: 1e-4 })
