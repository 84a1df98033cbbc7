// The platforms that a compiled module is published for, each in a package of its own that npm installs only there.
// `zig` is its name for the compiler; glibc 2.28, macOS 11 and Windows 10 are what Node 20 itself needs.
export const platforms = {
  'linux-x64-gnu': { os: 'linux', cpu: 'x64', libc: 'glibc', zig: 'x86_64-linux-gnu.2.28' },
  'linux-x64-musl': { os: 'linux', cpu: 'x64', libc: 'musl', zig: 'x86_64-linux-musl' },
  'linux-arm64-gnu': { os: 'linux', cpu: 'arm64', libc: 'glibc', zig: 'aarch64-linux-gnu.2.28' },
  'linux-arm64-musl': { os: 'linux', cpu: 'arm64', libc: 'musl', zig: 'aarch64-linux-musl' },
  'darwin-arm64': { os: 'darwin', cpu: 'arm64', zig: 'aarch64-macos.11.0' },
  'darwin-x64': { os: 'darwin', cpu: 'x64', zig: 'x86_64-macos.11.0' },
  'win32-x64': { os: 'win32', cpu: 'x64', zig: 'x86_64-windows-gnu' },
}

export const packageOf = (platform) => `@parscale/native-${platform}`
