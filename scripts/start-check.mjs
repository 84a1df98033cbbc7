/** `npm start` as a user types it: builds, prints an address that answers with the page and with a text, and ends on Ctrl-C. */
import { spawn } from 'node:child_process'

// Against what hangs: a build may compile the native step, on a slow machine.
const withinMs = 1_800_000
const child = spawn('npm', ['start'], { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
const ended = new Promise((resolve) => child.on('close', resolve))
const timer = setTimeout(() => fail(`nothing answered within ${withinMs / 1000} s`), withinMs)
let printed = ''
child.stdout.setEncoding('utf8').on('data', (text) => {
  process.stdout.write(text)
  printed += text
})

try {
  const url = await address()
  const page = await (await fetch(url)).text()
  if (!page.includes('<script')) fail(`${url} answered with no page`)
  const body = JSON.stringify({ model: 'parscale-small', prompt: 'The people', max_tokens: 8, parscale: { p: 8 } })
  const answer = await fetch(new URL('/v1/completions', url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  })
  const { choices, error } = await answer.json()
  if (!choices?.[0]?.text) fail(`no text came: ${answer.status} ${error?.message}`)
  console.log(`a text at P = 8: ${JSON.stringify(choices[0].text)}`)
} finally {
  stop('SIGINT')
}
await ended
clearTimeout(timer)

async function address() {
  for (;;) {
    const found = /http:\/\/\S+(?=\s)/.exec(printed)
    if (found) return found[0]
    if (child.exitCode !== null) fail(`npm start ended with ${child.exitCode}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

function stop(signal) {
  try {
    process.kill(-child.pid, signal) // as a terminal's Ctrl-C: to all of its processes
  } catch {} // it has ended
}

function fail(message) {
  console.error(`npm start: ${message}`)
  stop('SIGKILL')
  process.exit(1)
}
