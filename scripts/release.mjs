/**
 * Checks what is to be released, packs it, shows what would be published, and publishes it (docs/release.md).
 *
 *     npm run release -- --dry-run                      everything but the publishing
 *     npm run release -- --dry-run --allow-dirty        with changes that are not committed
 *     npm run release -- --prebuilds FOLDER             where `npm run prebuilds -- --target all --into FOLDER` wrote; default .cache/release/prebuilds
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { parseArgs } from 'node:util'
import { platforms } from '../packages/native/scripts/platforms.mjs'
import { packTo } from './release/pack.mjs'
import { packageNames, root, stage } from './release/stage.mjs'

const work = join(root, '.cache/release')
const flags = parseArgs({
  options: {
    'dry-run': { type: 'boolean', default: false },
    'allow-dirty': { type: 'boolean', default: false },
    prebuilds: { type: 'string', default: join(work, 'prebuilds') },
  },
}).values
const dry = flags['dry-run']

const say = (line) => process.stdout.write(`${line}\n`)
const faults = []
function check(what, fault) {
  say(`${fault ? 'FAULT' : 'ok   '}  ${what}${fault ? `: ${fault}` : ''}`)
  if (fault) faults.push(what)
}

function run(command, args, cwd = root) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 26 })
  return { fault: status === 0 ? undefined : `${command} ended with ${status}\n${stdout}${stderr}`, stdout: stdout ?? '' }
}

const manifestOf = (folder) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
const manifests = packageNames.map((name) => manifestOf(join(root, 'packages', name)))
const [{ version }] = manifests

const { stdout: changes } = run('git', ['status', '--porcelain'])
check(
  'nothing uncommitted',
  changes && !flags['allow-dirty'] ? `${changes.split('\n').length - 1} files; --allow-dirty lets them be` : undefined,
)

const others = manifests.filter((manifest) => manifest.version !== version).map(({ name, version }) => `${name} ${version}`)
check(`one version, ${version}`, others.join(', '))
const wanted = manifests.flatMap(({ name, dependencies = {}, optionalDependencies = {} }) =>
  Object.entries({ ...dependencies, ...optionalDependencies })
    .filter(([other, range]) => manifests.some((each) => each.name === other) && range !== `^${version}`)
    .map(([other, range]) => `${name} wants ${other} ${range}`),
)
check('the packages want each other in this version', wanted.join(', '))
check(
  `CHANGELOG.md has ${version}`,
  readFileSync(join(root, 'CHANGELOG.md'), 'utf8').includes(`\n## ${version}\n`) ? '' : 'no such heading',
)

const origin = run('git', ['remote', 'get-url', 'origin']).stdout.trim()
const place = (url) =>
  url
    .replace(/^git\+/, '')
    .replace(/^(\w+:\/\/)?(\w+@)?/, '')
    .replace(':', '/')
    .replace(/\.git$/, '')
const elsewhere = manifests.filter(({ repository }) => place(repository.url) !== place(origin)).map(({ name }) => name)
if (origin)
  check(`the manifests name ${place(origin)}`, elsewhere.length > 0 ? `${elsewhere.join(', ')} name another repository` : '')
else check('the manifests name this repository', dry ? '' : 'git has no remote named origin')

check('npm run lint', run('npm', ['run', 'lint', '--silent']).fault)
for (const name of packageNames)
  for (const made of ['dist', 'tsconfig.tsbuildinfo'])
    rmSync(join(root, 'packages', name, made), { recursive: true, force: true })
check('npm run build, from nothing', run('npm', ['run', 'build', '--silent']).fault)
check('npm run typecheck', run('npm', ['run', 'typecheck', '--silent']).fault)
if (faults.length > 0) stop()

const tarballs = join(work, 'tarballs')
rmSync(tarballs, { recursive: true, force: true })
mkdirSync(tarballs, { recursive: true })
const folders = Object.keys(platforms).map((platform) => join(flags.prebuilds, platform))
const missing = folders.filter((folder) => !existsSync(join(folder, 'parscale.node')))
check(
  'a prebuilt module for each platform',
  missing.length > 0
    ? `none for ${missing.map((folder) => basename(folder)).join(', ')} in ${flags.prebuilds}: npm run prebuilds -- --target all --into ${flags.prebuilds}`
    : '',
)
const old = folders.filter((folder) => !missing.includes(folder) && manifestOf(folder).version !== version)
check('the prebuilt modules are of this version', old.map((folder) => basename(folder)).join(', '))

const rows = []
for (const folder of [...folders.filter((each) => !missing.includes(each)), ...packageNames]) {
  const from = packageNames.includes(folder) ? await stage(folder, join(work, 'stage')) : folder
  const { name, version } = manifestOf(from)
  const tarball = await packTo(tarballs, from)
  if (packageNames.includes(folder)) {
    check(`publint ${name}`, run('npx', ['--yes', 'publint@0.3.25', '--strict', tarball]).fault)
    check(
      `attw ${name}`,
      run('npx', ['--yes', '@arethetypeswrong/cli@0.18.5', tarball, '--profile', 'esm-only', '--format', 'ascii']).fault,
    )
  }
  const { stdout } = run('tar', ['tzvf', tarball])
  const sizes = stdout
    .trim()
    .split('\n')
    .map((line) => Number(line.trim().split(/\s+/)[2]))
  const bytes = sizes.reduce((sum, size) => sum + size, 0)
  rows.push({ name, version, tarball, packed: statSync(tarball).size, bytes, files: sizes.length })
}

say(`\n${dry ? 'would be published' : 'to publish'}, in this order:`)
const kilobytes = (bytes) => `${(bytes / 1000).toFixed(0).padStart(6)} kB`
for (const { name, version, packed, bytes, files } of rows)
  say(
    `  ${`${name}@${version}`.padEnd(44)}${kilobytes(packed)} packed ${kilobytes(bytes)} unpacked  ${String(files).padStart(4)} files`,
  )
if (faults.length > 0 || dry) stop()

const terminal = createInterface({ input: process.stdin, output: process.stdout })
const answer = await terminal.question(`\nPublish to the registry, for good? Type ${version} to do it: `)
terminal.close()
if (answer.trim() !== version) stop('nothing was published')
for (const { name, tarball } of rows) {
  const { status } = spawnSync('npm', ['publish', tarball, '--access', 'public'], { cwd: root, stdio: 'inherit' })
  if (status !== 0) stop(`${name} was not published, nor what comes after it; go on by hand: npm publish TARBALL --access public`)
}

function stop(line = faults.length > 0 ? `${faults.length} faults; nothing was published` : 'nothing was published') {
  say(`\n${line}`)
  process.exit(faults.length > 0 || (!dry && line !== 'nothing was published') ? 1 : 0)
}
