/** The command line as users and scripts meet it: real processes, real files, exit codes. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesSource, parseSafetensors, readF32, type StoredTensor } from '@parscale/core/internal/checkpoint'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { byteModel, fixturesFolder, maxDifference, readFixture } from '../../core/src/testing/fixtures.ts'
import { mainPath, parscale } from './testing/cli.ts'
import { runHere } from './testing/run-here.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-cli-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** A copy of the model of bytes with one thing changed. */
function damaged(name: string, change: (path: string) => void): string {
  const path = join(folder, name)
  cpSync(byteModel, path, { recursive: true })
  change(path)
  return path
}

function editConfig(path: string, change: Record<string, unknown>): void {
  const file = join(path, 'config.json')
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...change }))
}

describe('generate', () => {
  it('writes text to stdout and talk to stderr', async () => {
    const { code, stdout, stderr } = await parscale([
      'generate',
      byteModel,
      '--prompt',
      'Hello',
      '--p',
      '8',
      '--max-tokens',
      '6',
      '--temperature',
      '0',
    ])
    expect(code).toBe(0)
    expect(stdout).not.toContain('P = 8')
    expect(stderr).toMatch(/P = 8, weights bfloat16, seed \d+: 5 prompt tokens .* 6 new tokens/)
  })

  it('gives the same text for the same seed, and JSON that says everything', async () => {
    const args = ['generate', byteModel, '--prompt', 'Hello', '--max-tokens', '8', '--temperature', '1', '--seed', '5', '--json']
    const [a, b] = await Promise.all([parscale(args), parscale(args)])
    expect(a.stdout).toBe(b.stdout)
    const result = JSON.parse(a!.stdout)
    expect(result).toMatchObject({ p: 8, seed: 5, promptTokens: 5, finishReason: 'length' })
    expect(result.tokens).toHaveLength(8)
    for (const token of result.tokens) expect(token.streamWeights.reduce((x: number, y: number) => x + y, 0)).toBeCloseTo(1, 5)
  })

  it('answers a batch as it answers each prompt alone', async () => {
    const run = (...prompts: string[]) =>
      parscale([
        'generate',
        byteModel,
        ...prompts.flatMap((p) => ['--prompt', p]),
        '--max-tokens',
        '5',
        '--temperature',
        '0',
        '--json',
      ])
    const [batch, one, two] = await Promise.all([run('One', 'Number two'), run('One'), run('Number two')])
    expect(JSON.parse(batch!.stdout).map((r: { text: string }) => r.text)).toEqual([
      JSON.parse(one!.stdout).text,
      JSON.parse(two!.stdout).text,
    ])
  })

  it('searches beams for several prompts and prints one JSON document', async () => {
    const { code, stdout } = await parscale([
      'generate',
      byteModel,
      '--prompt',
      'One',
      '--prompt',
      'Two',
      '--beams',
      '3',
      '--max-tokens',
      '4',
      '--json',
    ])
    expect(code).toBe(0)
    const rows = JSON.parse(stdout)
    expect(rows.map((row: { prompt: string }) => row.prompt)).toEqual(['One', 'Two'])
    for (const { beams } of rows) expect(beams).toHaveLength(3)
  })

  it('shows the streams of a batch too', async () => {
    const { stdout } = await parscale(
      ['generate', byteModel, '--prompt', 'One', '--prompt', 'Two', '--max-tokens', '2', '--temperature', '0', '--streams'],
      { env: { NO_COLOR: '1', FORCE_COLOR: undefined } },
    )
    expect(stdout).toMatch(/^One.*\(\d:\d+%\)[\s\S]*\n\nTwo.*\(\d:\d+%\)/)
  })

  it('reads the prompt from standard input', async () => {
    const { code, stdout } = await parscale(['generate', byteModel, '--max-tokens', '2', '--temperature', '0', '--json'], {
      input: 'piped',
    })
    expect([code, JSON.parse(stdout).prompt]).toEqual([0, 'piped'])
  })

  it('ends with 130 on Ctrl-C', async () => {
    const args = [
      'generate',
      byteModel,
      '--prompt',
      'x',
      '--max-tokens',
      '2000',
      '--temperature',
      '1',
      '--logit-bias',
      '258=-inf',
    ]
    const interrupt = () => parscale(args, { onOutput: (kill) => kill('SIGINT') })
    let { code, stderr } = await interrupt()
    // It may be done before the signal comes: then once more.
    for (let tries = 0; tries < 20 && code === 0; tries++) ({ code, stderr } = await interrupt())
    expect([code, stderr.includes('interrupted')]).toEqual([130, true])
  })
})

describe('score', () => {
  it('gives each of many texts what it gives the text alone', async () => {
    const texts = ['abc', 'The quick brown fox jumps over the lazy dog. '.repeat(20), 'a', 'xyz '.repeat(9)]
    const file = join(folder, 'texts.jsonl')
    writeFileSync(file, texts.map((body) => `${JSON.stringify({ body })}\n`).join('\n'))
    const args = ['score', byteModel, '--p', '8', '--json']
    const together = JSON.parse((await runHere([...args, '--jsonl', file, '--field', 'body'], process.env)).stdout)
    for (const [i, text] of texts.entries()) {
      const alone = JSON.parse((await runHere([...args, '--text', text], process.env)).stdout)
      expect(together.texts[i]).toEqual({ tokens: alone.tokens.length, loss: alone.loss, perplexity: alone.perplexity })
    }
    const scored = together.texts.filter(({ loss }: { loss: number | null }) => loss !== null)
    const sum = (of: (text: { tokens: number; loss: number }) => number) =>
      scored.reduce((a: number, text: never) => a + of(text), 0)
    expect(together.loss).toBeCloseTo(sum(({ tokens, loss }) => loss * (tokens - 1)) / sum(({ tokens }) => tokens - 1), 10)
  })

  // ONNX Runtime matches the command line against a regular expression and overflows the stack: it was a SIGSEGV.
  it.runIf(process.platform === 'linux')('refuses a command line that ONNX Runtime does not survive', async () => {
    const long = ['score', byteModel, '--text', 'x'.repeat(30_000), '--json', '--engine']
    const { code, stderr } = await parscale([...long, 'onnx'])
    expect([code, stderr]).toEqual([2, expect.stringMatching(/command line has \d+ characters.*in a file/)])
    const short = ['score', byteModel, '--text', 'x'.repeat(9_000), '--json', '--p', '1', '--engine']
    expect((await parscale([...short, 'onnx'])).code).toBe(0)
  })

  it('names line and field of JSON lines that hold no text', async () => {
    const file = join(folder, 'bad.jsonl')
    for (const [content, said, expected] of [
      ['{"text":"ab"}\n{"text":', /bad\.jsonl, line 2/, 3],
      ['{"other":"ab"}\n', /bad\.jsonl, line 1.*"text"/, 2],
      ['\n', /holds no text under "text"/, 2],
    ] as const) {
      writeFileSync(file, content)
      const { code, stderr } = await runHere(['score', byteModel, '--jsonl', file], process.env)
      expect([code, stderr]).toEqual([expected, expect.stringMatching(said)])
    }
  })

  it('writes the reference logits for --ids', async () => {
    const { folder: model, expected, arrays } = await readFixture('goldens/parscale-p4')
    const path = join(folder, 'logits.safetensors')
    const { code } = await parscale(['score', model, '--ids', expected.input_ids.join(','), '--logits', path])
    expect(code).toBe(0)
    const file = await parseSafetensors(bytesSource(readFileSync(path)))
    expect(file.tensors.map(({ name, shape, dtype }) => ({ name, shape, dtype }))).toEqual([
      { name: 'logits', shape: [12, 259], dtype: 'F32' },
    ])
    expect(maxDifference(await readF32(file.tensors[0] as StoredTensor), arrays.get('logits')!.data)).toBeLessThan(1e-4)
    expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([])
  })

  it('gives the reference loss, at every P its perplexity, and stream weights on request', async () => {
    const { folder: model, expected, arrays } = await readFixture('goldens/parscale-p8-bf16')
    const { stdout } = await parscale(['score', model, '--ids', expected.loss!.ids.join(','), '--json'])
    expect(JSON.parse(stdout).loss).toBeCloseTo(expected.loss!.value, 5)
    const streams = JSON.parse(
      (await parscale(['score', model, '--ids', expected.input_ids.join(','), '--json', '--streams'])).stdout,
    )
    expect(
      maxDifference(
        streams.tokens.flatMap((t: { streamWeights: number[] }) => t.streamWeights),
        arrays.get('agg_weights')!.data,
      ),
    ).toBeLessThan(1e-5)
  })

  it('shows streams in colour only when asked to', async () => {
    const args = ['score', byteModel, '--text', 'abc', '--streams']
    const colored = await parscale(args, { env: { FORCE_COLOR: '1', NO_COLOR: undefined } })
    const plain = await parscale(args, { env: { NO_COLOR: '1', FORCE_COLOR: undefined } })
    expect(colored.stdout).toContain('\u001b[48;2;')
    expect(plain.stdout).not.toContain('\u001b')
    expect(plain.stdout).toMatch(/a\(\d:\d+%\)b\(/)
  })
})

describe('inspect', () => {
  it('counts parameters and memory before anything is loaded', async () => {
    const report = JSON.parse((await parscale(['inspect', byteModel, '--json', '--p', '1', '--context', '100'])).stdout)
    expect(report).toMatchObject({ family: 'qwen2_parscale', availableP: [1, 8], dtypes: { BF16: 49 } })
    // The file's own length: every parameter is stored once, in two bytes, behind the header.
    const stored = readFileSync(join(byteModel, 'model.safetensors'))
    expect(report.parameters.total * 2).toBe(stored.byteLength - 8 - Number(stored.readBigUInt64LE(0)))
    // 3 layers, keys and values, 2 heads of 16, 100 places, 4 bytes.
    expect(report.memory.cacheBytes).toBe(3 * 2 * 2 * 16 * 100 * 4)
    expect(report.memory.fits).toBe(true)
  })

  it('says when a model does not fit, and loading refuses with the numbers', async () => {
    const path = damaged('huge', (p) => editConfig(p, { max_position_embeddings: 10_000_000_000 }))
    const { stdout } = await parscale(['inspect', path, '--context', '1000000000'])
    expect(stdout).toContain('does NOT fit')
    const { code, stderr } = await parscale([
      'generate',
      path,
      '--prompt',
      'x',
      '--max-tokens',
      '5000000000',
      '--temperature',
      '0',
    ])
    expect(code).toBe(4)
    expect(stderr).toMatch(/needs .* GB of memory at P = 8 .* are free/)
  })
})

describe('convert', () => {
  it('writes a folder that loads again and says the same', async () => {
    const target = join(folder, 'converted')
    expect((await parscale(['convert', byteModel, target])).code).toBe(0)
    const args = ['--ids', '1,2,3', '--json']
    expect((await parscale(['score', target, ...args])).stdout).toBe((await parscale(['score', byteModel, ...args])).stdout)
  })

  it('refuses a target that is taken and leaves it as it was', async () => {
    const target = join(folder, 'taken')
    cpSync(byteModel, target, { recursive: true })
    const before = readdirSync(target)
    const { code, stderr } = await parscale(['convert', byteModel, target])
    expect([code, stderr.includes(target), readdirSync(target)]).toEqual([2, true, before])
  })
})

describe('bad input ends with a sentence and an exit code', () => {
  const cases: [string, () => string[], number, RegExp][] = [
    [
      'an unknown flag',
      () => ['generate', '--tempreature', '1'],
      2,
      /generate has no --tempreature; did you mean --temperature\?/,
    ],
    ['a number that is none', () => ['generate', '--prompt', 'x', '--top-p', 'high'], 2, /--top-p high: it must be a number/],
    [
      'a value out of range',
      () => ['generate', '--prompt', 'x', '--top-p', '1.5'],
      2,
      /--top-p must be greater than 0 and at most 1, got 1.5/,
    ],
    [
      'a bias beyond what a logit can be',
      () => ['generate', '/no/such/model', '--prompt', 'x', '--logit-bias', '5=1e308'],
      2,
      /--logit-bias: the bias of token 5 must be from -1e\+30 to 1e\+30/,
    ],
    [
      'a penalty next to nothing',
      () => ['generate', '/no/such/model', '--prompt', 'x', '--repetition-penalty', '1e-308'],
      2,
      /--repetition-penalty must be from 1e-6 to 1e6, got 1e-308/,
    ],
    ['a bias that is none', () => ['generate', '--prompt', 'x', '--logit-bias', 'e=1'], 2, /--logit-bias .*must be ID=BIAS/],
    [
      'beams with what has no part in them',
      () => ['generate', '--prompt', 'x', '--beams', '2', '--stop', 'a'],
      2,
      /--beams cannot be used with --stop; leave one/,
    ],
    ['a prompt that is no text', () => ['generate', '--file', join(byteModel, 'model.safetensors')], 2, /is not UTF-8 text/],
    [
      'logits to where no file can be',
      () => ['score', byteModel, '--ids', '1', '--logits', '/dev/null/x'],
      2,
      /--logits .*cannot be written/,
    ],
    ['a P to inspect that is not there', () => ['inspect', '--p', '3'], 2, /it has P = 1, 2, 4, 8/],
    ['an empty prompt', () => ['generate', byteModel, '--prompt', ''], 2, /the prompt has no tokens/],
    ['an empty stop string', () => ['generate', '--prompt', 'x', '--stop', ''], 2, /--stop .*must not be empty/],
    [
      'a P that is not there',
      () => ['generate', '--prompt', 'x', '--p', '3'],
      2,
      /P = 3: this model has no such stream set; it has P = 1, 2, 4, 8/,
    ],
    [
      'a prompt longer than the context',
      () => ['generate', damaged('short', (p) => editConfig(p, { max_position_embeddings: 28 })), '--prompt', 'x'.repeat(29)],
      2,
      /the prompt has 29 tokens, the model's context is 28/,
    ],
    ['a model that is not there', () => ['generate', './no/such/model', '--prompt', 'x'], 3, /no such file or folder/],
    [
      'a hub model that was not pulled',
      () => ['generate', 'ParScale/ParScale-1.8B-P8', '--prompt', 'x'],
      3,
      /parscale pull ParScale\/ParScale-1.8B-P8/,
    ],
    [
      'a token id beyond the vocabulary',
      () => ['score', byteModel, '--ids', '1,259'],
      2,
      /token id 259 is not in the vocabulary of 259/,
    ],
    [
      'an unknown architecture',
      () => ['inspect', damaged('gpt', (p) => editConfig(p, { model_type: 'gpt_neox' }))],
      3,
      /model_type "gpt_neox" is not supported; supported are qwen2_parscale/,
    ],
    ['a missing key', () => ['inspect', damaged('key', (p) => editConfig(p, { rms_norm_eps: undefined }))], 3, /rms_norm_eps/],
    [
      'a smoothing that is not said',
      () => ['inspect', damaged('smooth', (p) => editConfig(p, { parscale_attn_smooth: undefined }))],
      3,
      /parscale_attn_smooth is missing/,
    ],
    [
      'more layers than there are',
      () => ['score', damaged('layers', (p) => editConfig(p, { num_hidden_layers: 4 })), '--ids', '1'],
      3,
      /tensor model.layers.3.\S+ is missing; .*, as num_hidden_layers is 4: change that/,
    ],
    [
      'fewer layers than there are',
      () => ['score', damaged('fewer', (p) => editConfig(p, { num_hidden_layers: 2 })), '--ids', '1'],
      3,
      /tensor model.layers.2.\S+ \[.*\] has no place in this model/,
    ],
    [
      'another shape',
      () => ['score', damaged('shape', (p) => editConfig(p, { intermediate_size: 180 })), '--ids', '1'],
      3,
      /has shape \[176,64\], config.json asks for \[180,64\]/,
    ],
    [
      'a file cut short',
      () => [
        'score',
        damaged('cut', (p) => {
          const f = join(p, 'model.safetensors')
          writeFileSync(f, readFileSync(f).subarray(0, 300_000))
        }),
        '--ids',
        '1',
      ],
      3,
      /model.safetensors/,
    ],
    [
      'a prefix that is not a number',
      () => ['score', damaged('nan', poisonPrefix), '--ids', '1'],
      3,
      /prefix_k holds NaN at element 0: it was never initialised/,
    ],
    [
      'a missing tokenizer',
      () => ['generate', damaged('mute', (p) => rmSync(join(p, 'tokenizer.json'))), '--prompt', 'x'],
      3,
      /tokenizer.json is missing/,
    ],
    [
      'a generation_config.json that is no JSON',
      () => [
        'generate',
        damaged('generation', (p) => writeFileSync(join(p, 'generation_config.json'), '{"eos')),
        '--prompt',
        'x',
      ],
      3,
      /generation_config.json is not valid JSON: /,
    ],
    [
      'a generation_config.json that names no tokens',
      () => [
        'generate',
        damaged('ends', (p) => writeFileSync(join(p, 'generation_config.json'), '{"eos_token_id":"</s>"}')),
        ...['--prompt', 'x'],
      ],
      3,
      /eos_token_id should be a token id or a list/,
    ],
    ['a missing chat template', () => ['chat', byteModel, '--message', 'hi'], 3, /no chat template/],
    [
      'a stream set of another backbone',
      () => [
        'score',
        `${fixturesFolder}goldens/parscale-p4`,
        '--stream-set',
        `${fixturesFolder}goldens/parscale-p2`,
        '--ids',
        '1',
      ],
      3,
      /another backbone/,
    ],
  ]

  it.each(cases)('%s', async (_, args, code, message) => {
    const result = await parscale(args(), { env: { HF_HOME: join(folder, 'hf') } })
    expect(result.stderr).toMatch(message)
    expect(result.code).toBe(code)
    expect(result.stdout).toBe('')
  })

  it('takes a reader who leaves early for no failure', async () => {
    const script = `"${process.execPath}" --conditions=source --import tsx "${mainPath}" inspect --json 2>&1 | head -1; echo "$?"`
    const { stdout, stderr } = spawnSync('bash', ['-o', 'pipefail', '-c', script], { encoding: 'utf8' })
    expect([stdout, stderr]).toEqual(['{\n0\n', ''])
  })

  it('--help shows examples and exit codes, without an error', async () => {
    const { code, stdout } = await parscale(['--help'])
    expect(code).toBe(0)
    expect(stdout).toContain('Exit codes: 0 success')
    for (const command of ['generate', 'chat', 'score', 'inspect', 'convert', 'pull', 'models']) {
      expect((await parscale([command, '--help'])).stdout, command).toContain('Examples:')
    }
  })
})

function poisonPrefix(path: string): void {
  const file = join(path, 'model.safetensors')
  const bytes = readFileSync(file)
  const headerLength = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.subarray(8, 8 + headerLength).toString())
  bytes.writeUInt16LE(0x7fc0, 8 + headerLength + header['model.layers.1.self_attn.prefix_k'].data_offsets[0])
  writeFileSync(file, bytes)
}
