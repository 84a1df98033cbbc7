/** Loads the same model on each engine that runs here. */
import { type EngineOptions, type LoadEngine, loadEngine as loadOnnx } from '../../../core/src/testing/fixtures.ts'
import { loadEngine as loadNative } from '../../../native/test/support/load-engine.ts'
import type { EngineName } from '../../src/load/decode-engine.ts'

export { engines } from '../../src/testing/engines.ts'

export const loadEngine: LoadEngine<EngineOptions & { readonly engine?: EngineName }> = (folder, options = {}, sets = []) => {
  const { engine = 'onnx', device, ...shared } = options
  return engine === 'native' ? loadNative(folder, shared, sets) : loadOnnx(folder, { ...shared, device }, sets)
}
