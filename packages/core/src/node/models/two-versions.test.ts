/** Two versions of this package with one cache: `state` differs, `identity` does not. Neither may take from the other what it uses. */
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodeModule, runScript } from '../disk/testing/processes.ts'

let cache: string
beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), 'parscale-versions-'))
})
afterAll(() => rm(cache, { recursive: true }))

/** A process of a version that asks for a folder, prints its path, and uses it until it is killed. */
async function using(version: number) {
  const child = runScript(`
    import { cachedModelFolder, listing } from ${nodeModule('models/model-cache.ts')}
    import { writeWholeFolder } from ${nodeModule('disk/whole-folder.ts')}
    const make = (folder, { advice }) => writeWholeFolder(folder, async (partial) => {
      const { writeFile } = await import('node:fs/promises')
      await writeFile(partial + '/weights', 'of version ${version}')
    }, { advice, listing })
    const wanted = { kind: 'packed', label: 'small', source: '/model', identity: ['a digest'], state: [${version}], make }
    console.log(await cachedModelFolder(wanted, { cacheDirectory: ${JSON.stringify(cache)} }))
    setTimeout(() => {}, 1e9)`)
  const folder = String((await once(child.stdout!, 'data'))[0]).trim()
  const end = async () => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  return { folder, end }
}

const weights = (folder: string) => readFile(join(folder, 'weights'), 'utf8')
const folders = async () => (await readdir(join(cache, 'packed'))).filter((name) => name.startsWith('small-'))

test('each has a folder of its own; what one uses stays, what nobody uses any more goes', async () => {
  const first = await using(1)
  const second = await using(2)
  const again = await using(1)
  expect(again.folder).toBe(first.folder)
  expect([await weights(first.folder), await weights(second.folder)]).toEqual(['of version 1', 'of version 2'])
  for (const { end } of [first, second, again]) await end()
  const third = await using(3)
  expect(await folders()).toHaveLength(1)
  expect(await weights(third.folder)).toBe('of version 3')
  await third.end()
})
