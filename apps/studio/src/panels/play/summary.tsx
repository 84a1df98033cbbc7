/** A text as a whole: means over its tokens, and what each stream had of it. */
import { css, disagreement, evenness, leader, percent } from '../../streams.ts'
import type { TraceRun } from '../../trace.ts'

export function Summary({ run }: { run: TraceRun }) {
  const tokens = run.version.value >= 0 ? run.tokens.filter(({ weights }) => weights.length > 1) : []
  const p = tokens.at(-1)?.weights.length ?? 0
  const same = tokens.filter(({ weights }) => weights.length === p)
  const mean = (of: (token: (typeof same)[number]) => number) => same.reduce((sum, token) => sum + of(token), 0) / same.length
  return (
    <div class="block" style={{ minHeight: '120px' }}>
      {same.length === 0 ? (
        <p class="note">From left to right the tokens, a row for each stream: darker where it weighs more.</p>
      ) : (
        <>
          <dl class="stats">
            <div>
              <dt>tokens with P = {p}</dt>
              <dd>{same.length}</dd>
            </div>
            <div>
              <dt>evenness of the weights</dt>
              <dd>
                {mean(({ weights }) => evenness(weights)).toFixed(3)} <small>of 1</small>
              </dd>
            </div>
            <div>
              <dt>streams that disagree</dt>
              <dd>{percent(mean(disagreement))}</dd>
            </div>
            <div>
              <dt>mean probability</dt>
              <dd>{percent(mean(({ logprob }) => Math.exp(logprob)))}</dd>
            </div>
          </dl>
          <div class="legend">
            {Array.from({ length: p }, (_, i) => (
              <span key={i}>
                <i style={{ background: css(i) }} />
                {i + 1}: weighs {percent(mean(({ weights }) => weights[i]!))}, leads{' '}
                {percent(mean(({ weights }) => Number(leader(weights) === i)))}
              </span>
            ))}
          </div>
        </>
      )}
    </div>
  )
}
