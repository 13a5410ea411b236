/** The token by which the two halves of one gateway know each other on local sockets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isSameToken } from '../../federation/peering/service.ts';

test('only the whole token is the token', () => {
  assert.equal(isSameToken('secret', 'secret'), true);
  for (const shown of [undefined, '', 'secre', 'secret ', 'Secret', 'secrét']) {
    assert.equal(isSameToken(shown, 'secret'), false, shown);
  }
});
