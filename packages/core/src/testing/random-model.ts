/** Tiny checkpoints of any shape with random weights: laws that need no reference hold for every one of them. */
import { parseModelConfig, type TensorStream } from '../checkpoint/index.ts'
import { backboneParameters, elementCount, type Parameter, streamParameters } from '../model/index.ts'
import { writeModelFolder } from '../node/index.ts'
import { createRandom, type Random } from '../random.ts'

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
  const draw = ({ name }: Parameter, random: Random) => (name.includes('norm') ? 1 : 0) + 0.3 * random.normal()
  await writeModelFolder(folder, {
    files: new Map([['config.json', new TextEncoder().encode(JSON.stringify(configJson))]]),
    tensors: randomTensors(parameters, draw, spoil),
  })
}

/** Each parameter in float32, every value drawn; the seed is the parameter's place in the list. */
export const randomTensors = (
  parameters: readonly Parameter[],
  draw: (parameter: Parameter, random: Random) => number,
  spoil: Spoil = () => {},
): TensorStream[] =>
  parameters.map((parameter, i) => ({
    name: parameter.name,
    shape: parameter.shape,
    dtype: 'F32',
    async *chunks() {
      const random = createRandom(i)
      const values = Float32Array.from({ length: elementCount(parameter.shape) }, () => draw(parameter, random))
      spoil(parameter.name, values)
      yield new Uint8Array(values.buffer)
    },
  }))
