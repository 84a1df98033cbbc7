/** Lets a thread take its messages between steps: on WASM all of a text is one chain of microtasks, which nothing comes between. */

/** How long a thread may be deaf, in milliseconds. */
const longest = 8

/** Returns a function to be waited for between steps. It costs nothing until it is time; a timer would cost 4 ms each. */
export function breathing(): () => Promise<void> | undefined {
  let { port1, port2 }: Partial<MessageChannel> = {}
  let wake = () => {}
  let last = performance.now()
  return () => {
    if (performance.now() - last < longest) return undefined
    if (!port1) {
      ;({ port1, port2 } = new MessageChannel())
      port1.onmessage = () => {
        last = performance.now()
        wake()
      }
    }
    return new Promise((resolve) => {
      wake = resolve
      port2!.postMessage(undefined)
    })
  }
}
