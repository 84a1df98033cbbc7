/** Random stream sets for any model: what decoding with P streams costs does not depend on what they learned. */
import { existsSync } from 'node:fs'
import { createRandom } from '@parscale/core'
import { parscaleKeys, type TensorStream } from '@parscale/core/checkpoint'
import { elementCount, type ModelConfig, parscaleConfig, streamParameters } from '@parscale/core/model'
import { writeModelFolder } from '@parscale/core/node'

/** Writes a stream set with P streams for a backbone of this configuration, unless it is there. */
export async function writeRandomStreams(folder: string, config: ModelConfig, p: number): Promise<void> {
  if (existsSync(folder)) return
  const parscale = parscaleConfig({ n: p })
  const json = { ...config.raw, ...parscaleKeys(parscale) }
  const tensors = streamParameters({ ...config, parscale }).map(
    ({ name, shape }, i): TensorStream => ({
      name,
      shape,
      dtype: 'F32',
      async *chunks() {
        const random = createRandom(1000 * p + i)
        const values = Float32Array.from({ length: elementCount(shape) }, () => 0.07 * (random.uniform() - 0.5))
        yield new Uint8Array(values.buffer)
      },
    }),
  )
  await writeModelFolder(folder, { files: new Map([['config.json', new TextEncoder().encode(JSON.stringify(json))]]), tensors })
}
