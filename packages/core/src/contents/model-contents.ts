/** The folder contents of a model in either format, Hugging Face or GGUF. Tensor data is read only when it is asked for. */
import type { ByteSource } from '../checkpoint/byte-source.ts'
import { type ModelConfig, parseModelConfig } from '../checkpoint/config.ts'
import { requireStreamTensors } from '../checkpoint/expected-tensors.ts'
import { finiteStream } from '../checkpoint/finite.ts'
import { blockFormats } from '../checkpoint/gguf/blocks.ts'
import { type GgufModel, type GgufStream, readGgufModel } from '../checkpoint/gguf/model.ts'
import { jsonBytes } from '../checkpoint/json-text.ts'
import { isTied, type OpenCheckpoint, type TextFiles } from '../checkpoint/open-checkpoint.ts'
import { streamBytes, streamTensor, type TensorStream } from '../checkpoint/tensor-stream.ts'
import { backboneParameters, elementCount, streamParameters } from '../model/index.ts'
import { type GgufTokenizer, ggufTokenizer, tokenizerFilesFromGguf } from '../tokenizer/gguf/tokenizer.ts'
import { tokenizerFileBytes } from '../tokenizer/tokenizer-files.ts'
import type { FolderContents, SmallFiles } from './folder-contents.ts'

/** A model without its further stream sets. */
export interface ModelContents extends FolderContents {
  /** Names it in errors. */
  readonly path: string
  readonly config: ModelConfig
  /** As parsed. */
  readonly configJson: Readonly<Record<string, unknown>>
  /** The small files for who reads them here, where their bytes are only made for who writes them. */
  readonly textFiles?: TextFiles
  readonly tensors: readonly (TensorStream | GgufStream)[]
}

/**
 * @param files the small files beside the weights, config.json among them
 * @throws as requireStreamTensors; the contents' chunks for streams that are not finite: whoever writes a model writes one that runs
 */
export function checkpointContents(checkpoint: OpenCheckpoint, files: SmallFiles): ModelContents {
  const { path, config, configJson, tensors, otherTensors } = checkpoint
  requireStreamTensors(checkpoint)
  const stored = [...tensors.values(), ...otherTensors.values()]
  const ofStreams = new Set(streamParameters(config).map(({ name }) => name))
  return {
    path,
    config,
    configJson,
    files,
    tensors: stored.map((tensor) => {
      const stream = streamTensor(tensor)
      return ofStreams.has(tensor.name) ? finiteStream(stream, path) : stream
    }),
  }
}

/**
 * The folder that a GGUF file stands for: its tensors under Hugging Face's names, its tokenizer as files.
 *
 * @throws as readGgufModel; `files` and `textFiles` as ggufTokenizer
 */
export async function ggufContents(source: ByteSource): Promise<ModelContents> {
  const model = await readGgufModel(source)
  const path = source.name
  const { configJson, tensors } = model
  const small = ggufSmallFiles(model, path)
  return {
    path,
    config: parseModelConfig(configJson, path),
    configJson,
    tensors,
    textFiles: small,
    get files() {
      return small.all()
    },
  }
}

/** A vocabulary is large: whoever runs the model needs no files of it, and whoever converts it no tokenizer. */
function ggufSmallFiles(model: GgufModel, path: string): TextFiles & { all(): SmallFiles } {
  let files: SmallFiles | undefined
  let tokenizer: { readonly found: GgufTokenizer | undefined } | undefined
  const all = () => {
    files ??= ggufFiles(model, path)
    return files
  }
  const parts = () => {
    tokenizer ??= { found: ggufTokenizer(model.metadata, path) }
    return tokenizer.found
  }
  return {
    path,
    all,
    parsed(name) {
      if (name === 'tokenizer.json') return parts()?.tokenizerJson
      return name === 'tokenizer_config.json' ? parts()?.tokenizerConfig : undefined
    },
    async readText(name) {
      if (name === 'chat_template.jinja') return parts()?.chatTemplate
      const bytes = ggufFileNames.has(name) ? all().get(name) : undefined
      return bytes && new TextDecoder().decode(bytes)
    },
  }
}

/** What is made of a GGUF file's metadata. */
const ggufFileNames: ReadonlySet<string> = new Set([
  'config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
])

function ggufFiles({ configJson, metadata }: GgufModel, path: string): SmallFiles {
  const config = ['config.json', jsonBytes(configJson)] as const
  const found = tokenizerFilesFromGguf(metadata, path)
  if (!found) return new Map([config])
  const { 'tokenizer.json': tokenizerJson, 'tokenizer_config.json': tokenizerConfig, 'chat_template.jinja': chatTemplate } = found
  return new Map([config, ...tokenizerFileBytes({ tokenizerJson, tokenizerConfig, chatTemplate })])
}

/** Whether the output matrix is the embedding. */
export const tiedOf = ({ config, tensors }: Pick<ModelContents, 'config' | 'tensors'>): boolean =>
  isTied({ config, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) })

/** The backbone's tensors as they are read without quantising: what stream sets name by its digest. */
export function backboneStreams(model: Pick<ModelContents, 'config' | 'tensors'>): TensorStream[] {
  const byName = new Map(model.tensors.map((stream) => [stream.name, stream]))
  return backboneParameters(model.config, tiedOf(model)).flatMap(({ name }) => byName.get(name) ?? [])
}

/** Bytes that a tensor takes where it lies. */
export function storedBytes(stream: TensorStream | GgufStream): number {
  if (!('type' in stream)) return streamBytes(stream)
  const { elements, bytes } = blockFormats[stream.type]
  return (elementCount(stream.shape) / elements) * bytes
}
