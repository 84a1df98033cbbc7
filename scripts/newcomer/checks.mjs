/** What a newcomer tries, in order. Each gives nothing, or throws what was wrong. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../release/stage.mjs'

const text = 'My fellow citizens of the Senate and the House, the state of the Union is strong. The whale swims in the sea.\n'

/** What nobody wants to see: warnings of package managers, of Node and ours. */
export function mustBeQuiet(what, said) {
  const loud = said.split('\n').filter((line) => /\bwarn(ing)?\b|deprecat|\bERR!/i.test(line))
  if (loud.length > 0) throw new Error(`${what} warns:\n${loud.join('\n')}`)
}

const generation = '--prompt "My fellow citizens" --max-tokens 8 --temperature 0'

export const checks = {
  async generate({ machine, parscale }) {
    const { stdout, stderr, seconds } = await machine.run(`${parscale} generate ${generation}`)
    mustBeQuiet('generate', stderr)
    if (/running on/.test(stderr)) throw new Error(`generate does not run on the native step: ${stderr}`)
    if (!/\w/.test(stdout)) throw new Error(`generate wrote nothing: ${stderr}`)
    const again = await machine.run(`${parscale} score --text "The whale"`)
    mustBeQuiet('score', again.stderr)
    return { seconds }
  },

  /** From an empty folder. */
  async npx({ machine }) {
    const cwd = join(machine.home, 'empty')
    mkdirSync(cwd)
    const { stdout, stderr, seconds } = await machine.run(`npx --yes parscale generate ${generation}`, { cwd })
    mustBeQuiet('npx', stderr)
    if (!/\w/.test(stdout)) throw new Error(`npx parscale generate wrote nothing: ${stderr}`)
    return { seconds }
  },

  /** As an ES module, and by `require` where Node can. */
  async library({ machine }) {
    const use = `const text = await loadTextModel(); const { text: said } = await text.generate('The whale', { maxTokens: 4 }); await text.dispose(); if (!said) throw new Error('no text')`
    writeFileSync(join(machine.project, 'use.mjs'), `import { loadTextModel } from 'parscale'\n${use}\n`)
    writeFileSync(
      join(machine.project, 'use.cjs'),
      `const { loadTextModel } = require('parscale')\n;(async () => { ${use} })()\n`,
    )
    for (const file of ['use.mjs', 'use.cjs']) {
      const { stderr } = await machine.run(`node ${file}`)
      // Node 22 says of require(esm) that it is experimental.
      mustBeQuiet(
        `node ${file}`,
        stderr.replace(
          /^\(node:\d+\) ExperimentalWarning: (CommonJS module|Support for loading ES Module)[\s\S]*?show where.*\n/m,
          '',
        ),
      )
    }
  },

  /** A program in one file, as docs/library.md says. */
  async bundle({ machine, esbuild }) {
    writeFileSync(
      join(machine.project, 'entry.mjs'),
      `import { loadTextModel } from 'parscale'\nconst text = await loadTextModel()\nconsole.log((await text.generate('The whale', { maxTokens: 4 })).text)\nawait text.dispose()\n`,
    )
    const flags = '--bundle --platform=node --format=esm --packages=external'
    await machine.run(`"${esbuild}" entry.mjs ${flags} --log-level=warning --outfile=out.mjs`)
    const { stdout, stderr } = await machine.run('node out.mjs')
    mustBeQuiet('the bundle', stderr)
    if (!/\w/.test(stdout)) throw new Error('the bundle writes nothing')
  },

  async 'ONNX Runtime'({ machine, add }) {
    const { stderr } = await machine.run(`${add} onnxruntime-node --ignore-scripts`)
    mustBeQuiet('adding onnxruntime-node', stderr)
  },

  /** 20 steps, and the model that comes of it. */
  async train({ machine, parscale }) {
    mkdirSync(join(machine.project, 'texts'))
    for (let i = 0; i < 40; i++) writeFileSync(join(machine.project, `texts/${i}.txt`), `${i} whales. ${text.repeat(8)}`)
    const shape = '--hidden-size 32 --heads 6 --kv-heads 2 --head-dim 32 --layers 1 --vocab-size 300 --sequence-length 32'
    const train = `${parscale} train pretrain --data "texts/*.txt" --p 2 --steps 20 ${shape} --out run`
    const { stderr, seconds } = await machine.run(train)
    mustBeQuiet('train', stderr.replace(/^ *warning: rho .*\n/gm, ''))
    await machine.run(`${parscale} generate run/model --prompt "The whale" --max-tokens 2`)
    return { seconds }
  },

  /** On a terminal: what is no command is refused, an answer is cut short, a paste of two lines is one message. */
  async chat({ machine, chatModel }) {
    if (!chatModel) return { skipped: 'no model: node scripts/fetch-smollm2.mjs' }
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what terminals are told
    const prompt = /> (?:\x1b\[\d*[A-Za-z])*$/
    const typed = [
      [prompt, '/help\r'],
      [/\/bye/, ''],
      [prompt, '/nonsense\r'],
      [/\/nonsense.*\/help/s, ''],
      [prompt, 'Write a long story about the sea.\r'],
      [/100%[\s\S]*[a-z]+ [a-z]+ [a-z]+ /, '\x03'],
      [/cut short/, ''],
      // One message, so one answer.
      [prompt, '\x1b[200~Name one colour.\nOne word only.\x1b[201~'],
      [/only\./, '\r'],
      [/tokens\/s/, ''],
      [prompt, '/bye\r'],
    ]
    // Without npx and a shell around it: both end by Ctrl-C's signal once it is over, whatever it ends with.
    const { stdout } = await machine.run(
      `script -qefc 'exec node_modules/.bin/parscale chat "${chatModel}" --temperature 0 --max-tokens 200' /dev/null`,
      { steps: typed },
    )
    mustBeQuiet('chat', stdout)
  },

  /** Where no prebuilt module is: the line that the fallback says, typed as it stands. */
  async compile({ machine, parscale }) {
    const { stdout } = await machine.run(`${parscale} inspect`)
    const [, line] = /then: (node \S+install\.mjs)/.exec(stdout) ?? []
    if (!line) throw new Error(`how to compile is not said: ${stdout}`)
    const { stderr, seconds } = await machine.run(line)
    mustBeQuiet('compiling', stderr)
    return { seconds }
  },

  async 'nothing runs'({ machine, parscale }) {
    const { stderr } = await machine.run(`${parscale} generate ${generation}`, { code: 3 })
    if (!/install a C\+\+ compiler.*npm install --ignore-scripts onnxruntime-node\n$/.test(stderr))
      throw new Error(`what to add is not said: ${stderr}`)
  },

  async 'generate on ONNX Runtime'({ machine, parscale }) {
    const { stdout, stderr } = await machine.run(`${parscale} generate ${generation}`)
    mustBeQuiet('generate', stderr)
    if (!/running on ONNX Runtime/.test(stderr) || !/\w/.test(stdout)) throw new Error(`generate: ${stderr}`)
  },
}

/** Types in the strictest settings: everything promised, without Node's types, and the programs of the READMEs, with them. */
export async function checkTypes(machine, tsc, resolution) {
  const { exports } = JSON.parse(readFileSync(join(root, 'packages/core/package.json'), 'utf8'))
  const promised = Object.keys(exports).filter((path) => !/internal|package\.json/.test(path))
  const names = ['parscale', 'parscale/ai-sdk', ...promised.map((path) => `@parscale/core${path.slice(1)}`)]
  const everything = names.map((name, i) => `export * as m${i} from '${name}'`).join('\n')
  const documents = ['README.md', ...['core', 'parscale', 'native'].map((name) => `packages/${name}/README.md`)]
  const programs = documents.flatMap((document) =>
    [...readFileSync(join(root, document), 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => `${code}\nexport {}`),
  )
  await compile('promised', [everything], { types: [] })
  // Of the newest AI SDK, whose own types are not ours to check.
  await machine.run('npm install --no-save ai@7 @ai-sdk/provider@4')
  const provider = `import type { ProviderV4 } from '@ai-sdk/provider'
import { createParscale } from 'parscale/ai-sdk'
export const provider = (...args: Parameters<typeof createParscale>): ProviderV4 => createParscale(args[0])`
  // @parscale/native is not a package that one imports; where it is hoisted, its program is checked as well.
  await compile('programs', [...programs, provider], {
    types: ['node'],
    typeRoots: [join(root, 'node_modules/@types')],
    skipLibCheck: true,
  })

  async function compile(name, files, types) {
    const folder = join(machine.project, name)
    mkdirSync(folder, { recursive: true })
    for (const [i, code] of files.entries()) writeFileSync(join(folder, `${i}.ts`), `${code}\n`)
    const compilerOptions = {
      target: 'es2023',
      lib: ['es2023', 'dom', 'esnext.disposable'],
      module: resolution === 'bundler' ? 'esnext' : 'nodenext',
      moduleResolution: resolution,
      strict: true,
      skipLibCheck: false,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noPropertyAccessFromIndexSignature: true,
      noImplicitOverride: true,
      isolatedModules: true,
      verbatimModuleSyntax: true,
      ...types,
      noEmit: true,
    }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }))
    const { stdout } = await machine.run(`"${tsc}" -p ${name} || true`)
    if (/error TS/.test(stdout)) throw new Error(stdout.split('\n').slice(0, 12).join('\n'))
  }
}
