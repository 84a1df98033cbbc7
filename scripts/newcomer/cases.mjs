/**
 * What newcomers have: a package manager, a version of Node, with or without install scripts, compiler and prebuilt module. `checks`
 * names what is tried after the install (checks.mjs).
 */
export const cases = [
  // In CI.
  { name: 'npm', manager: 'npm', checks: ['generate', 'library', 'bundle', 'train', 'chat'], ci: true },
  { name: 'pnpm', manager: 'pnpm', checks: ['generate', 'library'], ci: true },
  { name: 'bun', manager: 'bun', checks: ['generate'], ci: true },
  {
    name: 'npm 10, Node 22, --ignore-scripts',
    manager: 'npm10',
    node: '22',
    flags: '--ignore-scripts',
    checks: ['generate', 'library'],
    ci: true,
  },
  // With --all.
  { name: 'npx', manager: 'npm', checks: ['npx'] },
  { name: 'yarn 1', manager: 'yarn', checks: ['generate', 'library'] },
  { name: 'yarn 4', manager: 'berry', checks: ['generate', 'library'] },
  { name: 'pnpm, training', manager: 'pnpm', checks: ['train'] },
  { name: 'bun, training', manager: 'bun', checks: ['train'] },
  { name: 'npm 9', manager: 'npm9', checks: ['generate', 'train'] },
  { name: 'npm, Node 24', manager: 'npm', node: '24', checks: ['generate', 'library', 'train', 'chat'] },
  { name: 'npm, Node 22', manager: 'npm', node: '22', checks: ['generate', 'library', 'train'] },
  { name: 'npm, no prebuilt, compiler', manager: 'npm', prebuilt: false, compiler: true, checks: ['compile', 'generate'] },
  {
    name: 'npm, no prebuilt, no compiler',
    manager: 'npm',
    prebuilt: false,
    checks: ['nothing runs', 'ONNX Runtime', 'generate on ONNX Runtime'],
  },
]
