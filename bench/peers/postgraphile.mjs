// PostGraphile on the same tables. It checks no token and no membership, which is in its favour.
import http from 'node:http'
import { postgraphile } from 'postgraphile'
import { makePgService } from 'postgraphile/adaptors/pg'
import { grafserv } from 'postgraphile/grafserv/node'
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber'

const { PGDATABASE, PGHOST, PGUSER, POOL_SIZE, PORT } = process.env
const connectionString = `postgresql://${PGUSER}@/${PGDATABASE}?host=${encodeURIComponent(PGHOST)}`
const instance = postgraphile({
  extends: [PostGraphileAmberPreset],
  disablePlugins: ['PgIndexBehaviorsPlugin'], // or it neither filters nor orders by columns without an index of their own
  pgServices: [makePgService({ connectionString, schemas: ['public'], poolConfig: { max: Number(POOL_SIZE) } })],
  grafserv: { graphiql: false, graphiqlOnGraphQLGET: false },
  grafast: { explain: false },
})
const server = http.createServer()
await instance.createServ(grafserv).addTo(server)
server.listen(Number(PORT), '127.0.0.1')
