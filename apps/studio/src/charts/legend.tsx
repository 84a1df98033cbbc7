/** What the colours of a chart stand for. */
export function Legend({ series }: { series: readonly { readonly name: string; readonly colour: string }[] }) {
  return (
    <p class="legend">
      {series.map(({ name, colour }) => (
        <span key={name}>
          <i style={{ background: colour }} />
          {name}
        </span>
      ))}
    </p>
  )
}
