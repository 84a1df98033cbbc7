/**
 * Which files of a repository a model needs. Never code, never pickles: weights come as safetensors or GGUF, and
 * nothing that is pulled can run.
 */
import { usageError } from '@parscale/core/internal'
import { formatAmount } from '../terminal/progress.ts'
import type { ListedFile } from './listing.ts'

/** Small files beside the weights: configuration, tokenizer, chat template, and the card with its licence. */
const alwaysWanted = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'tokenizer.model',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'chat_template.jinja',
  'chat_template.json',
  'README.md',
  'LICENSE*',
]

/** Can run code when loaded, so no pattern brings them in. */
const neverWanted = /\.(bin|pt|pth|ckpt|pkl|pickle|npy|npz|joblib|msgpack|h5|py|pyc|so|dll|dylib|exe|sh|bat|js)$/i

const ggufPart = /-\d{5}-of-\d{5}\.gguf$/

/**
 * The files to pull: configuration, tokenizer and card from the top folder, and the weights. Weights are what `include`
 * matches (globs over whole paths, where `*` crosses `/`); without it, the safetensors of the top folder, or else the
 * one GGUF file there is. Small files stand first.
 * @throws usage error when a pattern matches nothing, or several GGUF files wait for a choice.
 */
export function chooseFiles(files: readonly ListedFile[], repo: string, include: readonly string[] = []): ListedFile[] {
  const safe = files.filter((file) => !neverWanted.test(file.path))
  const beside = safe.filter((file) => !file.path.includes('/') && matchesAny(alwaysWanted, file.path))
  const weights = include.length > 0 ? included(safe, repo, include) : defaultWeights(safe, repo)
  return [...beside, ...weights.filter((file) => !beside.includes(file))]
}

function included(files: readonly ListedFile[], repo: string, include: readonly string[]): ListedFile[] {
  for (const pattern of include) {
    if (!files.some((file) => matchesAny([pattern], file.path))) {
      throw usageError(
        `--include: ${repo} has no file that matches ${JSON.stringify(pattern)} and may be pulled; it has ${names(files)}`,
        {
          flag: '--include',
          found: pattern,
        },
      )
    }
  }
  const chosen = files.filter((file) => matchesAny(include, file.path))
  return chosen.some(isSafetensors) ? [...new Set([...files.filter(isIndex), ...chosen])] : chosen
}

function defaultWeights(files: readonly ListedFile[], repo: string): ListedFile[] {
  const top = files.filter((file) => !file.path.includes('/'))
  // Some repositories hold the same weights twice, once under the name of another loader.
  const safetensors = top.filter((file) => isSafetensors(file) && !/^(consolidated|adapter_)/.test(file.path))
  if (safetensors.length > 0) return [...top.filter(isIndex), ...safetensors]
  const gguf = top.filter((file) => file.path.endsWith('.gguf'))
  const models = new Set(gguf.map((file) => file.path.replace(ggufPart, '')))
  if (models.size === 1) return gguf
  if (models.size > 1) {
    throw usageError(
      `${repo}: expected one GGUF model, found ${models.size}; choose with --include '*Q4_K_M.gguf': ${names(gguf)}`,
      {
        flag: '--include',
      },
    )
  }
  throw usageError(`${repo}: expected weights as *.safetensors or *.gguf in its top folder, found ${names(files)}`)
}

const isSafetensors = ({ path }: ListedFile) => path.endsWith('.safetensors')

/** The list of shards. Only pulled with them: alone it would promise what is not there. */
const isIndex = ({ path }: ListedFile) => /^[^/]+\.safetensors\.index\.json$/.test(path)

function names(files: readonly ListedFile[]): string {
  const shown = files
    .slice(0, 30)
    .map(({ path, metadata }) => (metadata ? `${path} (${formatAmount(metadata.sizeBytes, 'B')})` : path))
  if (files.length > shown.length) shown.push(`and ${files.length - shown.length} more`)
  return shown.join(', ') || 'nothing'
}

/** Globs as `huggingface_hub` has them (Python's fnmatch): `*` any run of characters, also `/`; `?` any one. */
export function matchesAny(patterns: readonly string[], path: string): boolean {
  return patterns.some((pattern) => {
    const source = pattern
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replace(/\*+/g, '.*')
      .replaceAll('?', '.')
    return new RegExp(`^${source}$`, 's').test(path)
  })
}
