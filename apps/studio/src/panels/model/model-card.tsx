/** A model in numbers. */
import type { ModelInfo } from '../../api.ts'
import { bytes, short } from '../../streams.ts'

const states: Readonly<Record<string, string>> = {
  ready: 'loaded',
  loading: 'is being loaded',
  unloaded: 'is loaded when it is asked for',
  failed: 'cannot be loaded',
  unloading: 'is being freed',
}

export function Stat({ name, value, small = false }: { name: string; value: string; small?: boolean }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd style={small ? { fontSize: '14px', letterSpacing: 0, fontWeight: 520 } : {}}>{value}</dd>
    </div>
  )
}

export function ModelCard({ model }: { model: ModelInfo }) {
  const { id, state, problem, p, chat, weights, context, family, hidden, layers, heads, kvHeads, vocabulary } = model
  const { bytesPerPosition, parameters } = model
  return (
    <div class="card block">
      <h3 style={{ color: 'var(--ink)', fontSize: '16px' }}>
        {id} <span style={{ color: 'var(--soft)', fontWeight: 450 }}>{states[state] ?? state}</span>
      </h3>
      {problem && <p class="message">{problem}</p>}
      {state === 'ready' && (
        <dl class="stats">
          <Stat name="streams, P" value={p.join(', ')} />
          {parameters && <Stat name="parameters" value={short(parameters)} />}
          <Stat name="weights" value={weights ?? '–'} />
          {family && <Stat name="family" value={family} />}
          {layers && <Stat name="layers × width" value={`${layers} × ${hidden}`} />}
          {heads && <Stat name="heads, for keys" value={`${heads}, ${kvHeads}`} />}
          <Stat name="vocabulary" value={vocabulary?.toLocaleString('en') ?? '–'} />
          <Stat name="context" value={context?.toLocaleString('en') ?? '–'} />
          <Stat name="memory of a token" value={bytesPerPosition ? `${bytes(bytesPerPosition)} a stream` : '–'} />
          <Stat name="conversations" value={chat ? 'yes' : 'no template'} />
        </dl>
      )}
    </div>
  )
}
