/** The rule that only the disk room writes files, tried: lint has to fail where it should, and nowhere else. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

const writing = [
  "import { mkdir } from 'node:fs/promises'\nawait mkdir('a')\n",
  "import { writeFile as save } from 'node:fs/promises'\nawait save('a', '')\n",
  "import { open, readFile } from 'node:fs/promises'\nawait open(await readFile('a', 'utf8'), 'w')\n",
  "import { renameSync } from 'node:fs'\nrenameSync('a', 'b')\n",
  "import * as fs from 'node:fs/promises'\nawait fs.rename('a', 'b')\n",
  "import fs from 'node:fs'\nfs.mkdirSync('a')\n",
  "import { promises } from 'node:fs'\nawait promises.mkdir('a')\n",
  "const { mkdtemp } = await import('node:fs/promises')\nawait mkdtemp('a')\n",
  "const fs = await import('node:fs')\nfs.createWriteStream('a')\n",
  "export * from 'node:fs'\n",
]
const reading = "import { readFile, rm } from 'node:fs/promises'\nawait rm(await readFile('a', 'utf8'))\n"

test('lint refuses what writes files outside of the disk room', () => {
  const folder = mkdtempSync(join(tmpdir(), 'parscale-lint-'))
  const { $schema: _, ...config } = JSON.parse(readFileSync(join(root, 'biome.json'), 'utf8'))
  writeFileSync(join(folder, 'biome.json'), JSON.stringify({ ...config, vcs: { enabled: false } }))
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  const refused: string[] = []
  for (const [i, text] of writing.entries()) {
    for (const room of ['parscale/src/commands', 'native/src', 'core/src/node/runs', 'core/src/node']) {
      write(`packages/${room}/writes-${i}.ts`, text)
      refused.push(`packages/${room}/writes-${i}.ts`)
    }
    write(`packages/core/src/node/disk/writes-${i}.ts`, text)
    write(`packages/parscale/src/commands/writes-${i}.test.ts`, text)
  }
  write('packages/parscale/src/commands/reads.ts', reading)
  const args = [join(root, 'node_modules/@biomejs/biome/bin/biome'), 'lint', '--reporter=json', '--max-diagnostics=none', '.']
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' })
  const { diagnostics } = JSON.parse(stdout) as {
    diagnostics: { category: string; location: { path: string | { file: string } } }[]
  }
  const found = diagnostics.map(({ category, location: { path } }) => [category, typeof path === 'string' ? path : path.file])
  expect(found.sort()).toEqual(refused.map((path) => ['lint/style/noRestrictedImports', path]).sort())
  expect(status).toBe(1)
  rmSync(folder, { recursive: true })
})
