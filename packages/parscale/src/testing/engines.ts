import { nativeModule } from '@parscale/native'
import type { EngineName } from '../load/decode-engine.ts'

/** Those that run here: where there was no compiler at install, ONNX Runtime alone. */
export const engines: readonly EngineName[] = 'module' in nativeModule() ? ['onnx', 'native'] : ['onnx']
