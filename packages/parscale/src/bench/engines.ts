/** The engines that can be measured, by the names that `--engine` knows them by. */
import type { Runtime } from '@parscale/core/runtime'
import { type OnnxRuntimeOptions, onnxRuntime } from '../onnx-runtime.ts'

const engines = { onnx: onnxRuntime } satisfies Record<string, (options: OnnxRuntimeOptions) => Runtime>

export type EngineName = keyof typeof engines

/** `auto` is what the other commands take. */
export const engineChoices = ['auto', ...(Object.keys(engines) as EngineName[])] as const
export type EngineChoice = (typeof engineChoices)[number]

export const engineNamed = (choice: EngineChoice): EngineName => (choice === 'auto' ? 'onnx' : choice)

export const startEngine = (name: EngineName, threads: number | undefined): Runtime =>
  engines[name](threads === undefined ? {} : { threads })
