/** What stands at the top of each panel: in the page's HTML, so that it is painted before any script has come, and in the panel. */
export interface Head {
  readonly name: string
  /** In the list of panels. */
  readonly title: string
  readonly heading: string
  readonly lead?: string
}

export const heads = [
  { name: 'guide', title: 'Guide', heading: 'A minute with eight streams' },
  {
    name: 'play',
    title: 'Playground',
    heading: 'Playground',
    lead: 'P streams of one model read the same text, each with a small part of its own, and a small network weighs what they say. Each token stands on the colour of the stream that weighed most; the bar below it has all weights.',
  },
  {
    name: 'law',
    title: 'Law',
    heading: 'The law',
    lead: "The paper's finding: P streams are worth as much as more parameters, by a factor that grows with ln P. The points are its measurements; the curves are fitted to them here, in the page.",
  },
  {
    name: 'price',
    title: 'Price',
    heading: 'The price',
    lead: 'Streams share the weights, so they cost little memory, and little time where reading the weights is what takes time. Here is what that buys on a device: sizes N, streams P and bits of a weight, none of which another beats in loss, memory and time at once.',
  },
  {
    name: 'training',
    title: 'Training',
    heading: 'Training',
    lead: "Recycling leaves a model's weights as they are and learns what makes streams differ: a LoRA, biases and gains for each, and the network that weighs what they say. Runs are shown while they are written.",
  },
  { name: 'model', title: 'Model', heading: 'Model', lead: 'What is loaded, and where it runs.' },
] as const satisfies readonly Head[]

export type PanelName = (typeof heads)[number]['name']
export const headOf = (name: string): Head | undefined => heads.find((head) => head.name === name)
