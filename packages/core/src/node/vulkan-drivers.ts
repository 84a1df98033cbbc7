/**
 * Whether the Vulkan loader of Linux would find a driver. WebGPU asks it, and where there is none it writes its own warnings, with source
 * paths, before anybody can say it better.
 */
import { readdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** The folders and files of the loader's documentation (LoaderDriverInterface.md, "Driver Discovery on Linux"). */
export async function hasVulkanDriver(env: NodeJS.ProcessEnv): Promise<boolean> {
  if ([env.VK_DRIVER_FILES, env.VK_ICD_FILENAMES, env.VK_ADD_DRIVER_FILES].some(Boolean)) return true
  const home = homedir()
  const folders = [
    env.XDG_CONFIG_HOME || join(home, '.config'),
    ...(env.XDG_CONFIG_DIRS || '/etc/xdg').split(':'),
    '/usr/local/etc',
    '/etc',
    env.XDG_DATA_HOME || join(home, '.local', 'share'),
    ...(env.XDG_DATA_DIRS || '/usr/local/share:/usr/share').split(':'),
  ]
  const names = await Promise.all(folders.map((folder) => readdir(join(folder, 'vulkan', 'icd.d')).catch(() => [])))
  return names.flat().some((name) => name.endsWith('.json'))
}
