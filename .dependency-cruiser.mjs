// The rooms of @parscale/core in their order: each may import only rooms above it (docs/architecture.md).
const rooms = [
  'graph',
  'autodiff',
  'model',
  'runtime',
  'checkpoint',
  'tokenizer',
  'generation',
  'training',
  'evaluation',
  'server',
]
const core = 'packages/core/src'
/** Tests and what supports them: not built, not published, and free to import any room. */
const tests = '^packages/.*(\\.test\\.ts$|/testing/|/test/)'

export default {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-unresolved', severity: 'error', from: {}, to: { couldNotResolve: true } },
    ...rooms.map((room, i) => ({
      name: `room-order-${room}`,
      comment: `${room}/ imports only rooms above it`,
      severity: 'error',
      from: { path: `^${core}/${room}/`, pathNot: tests },
      to: { path: `^${core}/(${[...rooms.slice(i + 1), 'node', 'web'].join('|')})/` },
    })),
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
