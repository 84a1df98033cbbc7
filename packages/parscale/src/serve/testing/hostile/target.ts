/** The server that is attacked: the small model with a chat template that knows tools, in a process of its own. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { shippedModel } from '../../../package-files.ts'
import { type ServerProcess, startServer } from '../server-process.ts'

/** Short, as the model's context is: tools by name, calls as Qwen's template writes them. */
export const chatTemplate = `{% if tools %}{% for t in tools %}{{ t.function.name }} {% endfor %}{% endif %}{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}
<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %} {% endfor %}`

/** `stop` ends the process and removes the model. @param node Node's own options */
export async function startTarget(
  args: readonly string[] = [],
  node: readonly string[] = [],
): Promise<ServerProcess & { stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'parscale-target-'))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  try {
    cpSync(shippedModel, folder, { recursive: true })
    writeFileSync(join(folder, 'chat_template.jinja'), chatTemplate)
    const server = await startServer([`small=${folder}`, '--max-new-tokens', '32', '--keep-mb', '16', '--no-log', ...args], {
      node,
    })
    return {
      ...server,
      async stop() {
        await server.kill()
        remove()
      },
    }
  } catch (error) {
    remove()
    throw error
  }
}
