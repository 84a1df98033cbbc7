/** Tiny checkpoints of any shape with random weights: laws that need no reference hold for every one of them. */

import { parseModelConfig, type TensorStream } from '../checkpoint/index.ts'
import { backboneParameters, elementCount, streamParameters } from '../model/index.ts'
import { writeModelFolder } from '../node/index.ts'
import { createRandom } from '../random.ts'

/** Changes a weight's values [in place] before they are written. */
export type Spoil = (name: string, values: Float32Array) => void

/** Writes a model's folder for a config.json. */
export async function writeRandomModel(
  folder: string,
  configJson: Readonly<Record<string, unknown>>,
  spoil: Spoil = () => {},
): Promise<void> {
  const config = parseModelConfig(configJson)
  const parameters = [...backboneParameters(config, config.tieWordEmbeddings ?? true), ...streamParameters(config)]
  const tensors = parameters.map(
    ({ name, shape }, i): TensorStream => ({
      name,
      shape,
      dtype: 'F32',
      async *chunks() {
        const random = createRandom(i)
        const center = name.includes('norm') ? 1 : 0
        const values = Float32Array.from({ length: elementCount(shape) }, () => center + 0.3 * random.normal())
        spoil(name, values)
        yield new Uint8Array(values.buffer)
      },
    }),
  )
  await writeModelFolder(folder, {
    files: new Map([['config.json', new TextEncoder().encode(JSON.stringify(configJson))]]),
    tensors,
  })
}
