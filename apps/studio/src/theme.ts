/** Light, dark, or as the system has it. */
import { signal } from '@preact/signals'

export type Theme = 'system' | 'light' | 'dark'
const key = 'parscale-theme'
const kept = (): Theme => {
  try {
    const found = localStorage.getItem(key)
    return found === 'light' || found === 'dark' ? found : 'system'
  } catch {
    return 'system'
  }
}

export const theme = signal<Theme>(kept())
/** Counts changes of colours, for what draws on a canvas. */
export const painted = signal(0)

export function setTheme(next: Theme): void {
  theme.value = next
  try {
    localStorage.setItem(key, next)
  } catch {
    // A page that may keep nothing has the choice until it is closed.
  }
  apply()
}

export function apply(): void {
  if (theme.value === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme.value
  painted.value++
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => painted.value++)

export const cssVariable = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
