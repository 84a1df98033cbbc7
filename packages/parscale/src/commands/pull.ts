/** `parscale pull`: a model from the hub into the cache; its folder on stdout. */
import type { Command } from '@commander-js/extra-typings'
import { publishedLicense, publishedModels } from '../hub/published-models.ts'
import { type PulledModel, type PullProgress, pullModel } from '../hub/pull-model.ts'
import type { Io } from '../terminal/io.ts'
import { formatAmount } from '../terminal/progress.ts'

const examples = `
Examples:
  parscale pull ParScale/ParScale-1.8B-P8-Inst
  parscale pull ParScale/ParScale-1.8B-P8 --revision main --json
  parscale pull Qwen/Qwen2.5-0.5B-Instruct-GGUF --include '*q8_0.gguf'

Environment: HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE, HTTPS_PROXY, NO_PROXY, as in Hugging Face's own tools.
A pull that was cut short is resumed by the next one. Names are listed by: parscale models`

export function register(command: Command, io: Io): void {
  command
    .argument('<model>', 'ORG/NAME on the hub')
    .option('--revision <revision>', 'branch, tag or commit', 'main')
    .option(
      '--include <pattern>',
      'weight files to pull, e.g. "*Q4_K_M.gguf"; may be repeated (default: safetensors, or the one GGUF file)',
      (pattern, patterns: string[] = []) => [...patterns, pattern],
    )
    .option('--json', 'print the result as JSON')
    .addHelpText('after', examples)
    .action(async (model, { revision, include, json }) => {
      const progress = io.progress(model, 'B')
      const pulled = await pullModel(model, {
        revision,
        include,
        env: io.env,
        signal: io.signal,
        onProgress: (at) => progress.update(at.doneBytes, at.sizeBytes, fileNote(at)),
        onWait: (_, who) => io.stderr(`waiting for ${who}, which pulls the same model\n`),
      }).catch((error: unknown) => {
        progress.end()
        throw error
      })
      progress.end()
      io.stderr(`${summary(pulled)}\n`)
      if (publishedModels.some(({ name }) => name === model)) {
        io.stderr(`licence: the card is tagged ${publishedLicense.tag}, its text says '${publishedLicense.text}'\n`)
      }
      io.stdout(json ? `${JSON.stringify(resultJson(pulled), null, 2)}\n` : `${pulled.folder}\n`)
    })
}

function fileNote({ file, fileNumber, fileCount, fileDoneBytes, fileSizeBytes }: PullProgress): string {
  const percent = fileSizeBytes === 0 ? 100 : Math.floor((fileDoneBytes / fileSizeBytes) * 100)
  return `${file} ${percent}% (${fileNumber} of ${fileCount})`
}

function summary({ repo, commit, files, downloadedBytes }: PulledModel): string {
  if (downloadedBytes === 0) return `${repo} at ${commit.slice(0, 7)}: already in the cache`
  return `${repo} at ${commit.slice(0, 7)}: ${files.length} files, ${formatAmount(downloadedBytes, 'B')} downloaded and checked`
}

function resultJson({ repo, revision, commit, folder, files, downloadedBytes }: PulledModel) {
  return {
    model: repo,
    revision,
    commit,
    folder,
    downloadedBytes,
    files: files.map(({ path, sizeBytes, hash }) => ({ path, sizeBytes, [hash.algorithm]: hash.hex })),
  }
}
