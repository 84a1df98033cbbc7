import { loadTextModel } from 'parscale'
const seen=new Map<string,number>(); const t0=performance.now(); let n=0
for (; n<400 && performance.now()-t0<40000; n++) { const text = await loadTextModel()
let k=''; for await (const c of text.stream('Eight streams',{p:8,maxTokens:12,temperature:0})) k+=c.tokens.map(t=>t.id).join(' ')+' '
seen.set(k,(seen.get(k)??0)+1); await text.dispose() }
console.log(n,seen)
