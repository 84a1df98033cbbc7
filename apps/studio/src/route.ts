/** Which panel is shown, and its settings, from the address behind #. */
import { computed, signal } from '@preact/signals'

const hash = signal(location.hash)
addEventListener('hashchange', () => {
  hash.value = location.hash
})

export const route = computed(() => {
  const [path = '', query = ''] = hash.value.replace(/^#\/?/, '').split('?')
  return { name: path === '' ? 'guide' : path, query: new URLSearchParams(query) }
})

/** Changes the address without a step back. */
export function replaceRoute(name: string, query: URLSearchParams): void {
  history.replaceState(null, '', `#/${name}?${query}`)
}
