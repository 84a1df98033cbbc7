// The rooms of @parscale/core in their order: each may import only rooms above it (docs/architecture.md).
const rooms = [
  'graph',
  'autodiff',
  'model',
  'runtime',
  'checkpoint',
  'tokenizer',
  'contents',
  'generation',
  'packed',
  'training',
  'evaluation',
  'server',
]
const core = 'packages/core/src'
/** Tests and what supports them: not built, not published, and free to import any room. */
const tests = '^packages/.*(\\.test\\.ts$|/testing/|/test/)'

// The rooms of parscale, floor by floor: each may import floors below its own. cli.ts and index.ts stand on top.
const floors = [
  ['terminal'],
  ['hub'],
  ['storage'],
  ['load'],
  ['export', 'bench', 'serve', 'ai-sdk', 'sandbox', 'evaluate'],
  ['train'],
  ['sweep'],
  ['studio'],
  ['commands'],
]
const parscale = 'packages/parscale/src'

export default {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    // Programs of tests run where their packages are (scripts/npm-env.mjs).
    { name: 'no-unresolved', severity: 'error', from: { pathNot: '/testing/.*\\.mjs$' }, to: { couldNotResolve: true } },
    ...rooms.map((room, i) => ({
      name: `room-order-${room}`,
      comment: `${room}/ imports only rooms above it`,
      severity: 'error',
      from: { path: `^${core}/${room}/`, pathNot: tests },
      to: { path: `^${core}/(${[...rooms.slice(i + 1), 'node', 'web'].join('|')})/` },
    })),
    ...floors.flatMap((floor, i) =>
      floor.map((room) => ({
        name: `parscale-room-order-${room}`,
        comment: `${room}/ imports only floors below it`,
        severity: 'error',
        from: { path: `^${parscale}/${room}/`, pathNot: '\\.test\\.ts$' },
        to: { path: `^${parscale}/((${floors.slice(i).flat().join('|')})/|(cli|index)\\.ts)`, pathNot: `^${parscale}/${room}/` },
      })),
    ),
    {
      name: 'law-and-cost-import-no-room',
      severity: 'error',
      from: { path: `^${core}/(law|cost)/`, pathNot: tests },
      to: { path: `^${core}/(${rooms.join('|')}|node|web)/` },
    },
    { name: 'testing-for-tests-only', severity: 'error', from: { pathNot: tests }, to: { path: tests } },
    {
      name: 'platform-only-at-the-edge',
      severity: 'error',
      from: { path: `^${core}/`, pathNot: [`^${core}/node/`, tests] },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'core-needs-onnxruntime-common-only',
      severity: 'error',
      from: { path: `^${core}/`, pathNot: [`^${core}/(node|web)/`, tests] },
      to: { path: 'node_modules/onnxruntime-(node|web)' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(/dist/|\\.tsbuildinfo$)' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['source', 'node', 'import', 'default'] },
  },
}
