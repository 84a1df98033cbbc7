/** A device that is not there is one message of ours: what engines log themselves goes past Node, so this is a real process. */
import { existsSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { hasVulkanDriver } from '../../../core/src/node/vulkan-drivers.ts'
import { parscale } from '../testing/cli.ts'

const isLinux = process.platform === 'linux'

const vulkan = await hasVulkanDriver(process.env)

describe.runIf(isLinux)('a device that is not there', () => {
  it.runIf(!existsSync('/dev/nvidia0'))('cuda', async () => {
    const { code, stdout, stderr } = await parscale(['generate', '--prompt', 'hi', '--device', 'cuda'])
    expect([code, stdout]).toEqual([3, ''])
    expect(stderr).toMatch(/^parscale: device cuda cannot be used: an NVIDIA GPU .*\n$/)
  })

  it.runIf(!vulkan)('webgpu', async () => {
    const { code, stdout, stderr } = await parscale(['generate', '--prompt', 'hi', '--device', 'webgpu'])
    expect([code, stdout]).toEqual([3, ''])
    expect(stderr).toBe(
      'parscale: device webgpu cannot be used: no adapter was found; a GPU with a Vulkan, Metal or D3D12 driver is needed (Vulkan finds no driver)\n',
    )
  })
})
