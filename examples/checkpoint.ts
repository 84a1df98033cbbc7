/** A checkpoint without running it. Parsers take a byte source: a buffer here, a file or HTTP ranges elsewhere. */
import { readFile } from 'node:fs/promises'
import { bytesSource, parseModelConfig, parseSafetensors, readF32, sortTensors } from '@parscale/core/checkpoint'
import { resolveModel } from 'parscale'

const model = await resolveModel(undefined) // the model that ships; also a path, or ORG/NAME in the hub's cache
const folder = `${model}/streams/p8` // its eight streams: what they add to the backbone

const config = parseModelConfig(JSON.parse(await readFile(`${folder}/config.json`, 'utf8')))
console.log(config.modelType, 'with P =', config.parscale.n, 'and', config.parscale.nTokens, 'prefix tokens')

const source = bytesSource(await readFile(`${folder}/model.safetensors`), 'model.safetensors')
const { tensors } = sortTensors((await parseSafetensors(source)).tensors) // the header only: no weight is read
const bias = tensors.get('model.aggregate_layer.2.bias')!
console.log(tensors.size, 'tensors;', bias.name, bias.dtype, bias.shape)
console.log(Array.from(await readF32(bias), (x) => x.toFixed(3)).join(' '))
