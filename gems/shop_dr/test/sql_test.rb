# frozen_string_literal: true

require_relative "helper"

class SqlTest < Minitest::Test
  {
    read: ["SELECT 1 AS one FROM users LIMIT 1", "select * from a where b = 'insert into'", "/* app */ SELECT a FROM b FOR UPDATE SKIP LOCKED", "SHOW x",
           "SAVEPOINT a", "ROLLBACK TO SAVEPOINT a", "RELEASE SAVEPOINT a", "WITH x AS (SELECT a FROM b) SELECT a FROM x", "SET x = 1",
           "-- told\nSELECT count(*) FROM a", "SELECT a FROM b;", "SELECT a FROM b WHERE c = 'x; delete'; ",
           "SELECT a FROM b /*controller='orders',action='update'*/", "SELECT a FROM b WHERE c = E'\\\\' AND d = 'x; delete'",
           "SELECT a FROM b WHERE c = 'it''s -- no /* comment'", "SELECT a FROM b WHERE c = $x$it's; delete$x$", "SELECT a -- it's b\nFROM b"],
    write: ["INSERT INTO a VALUES (1)", "update a set b = 1", "WITH x AS (DELETE FROM a RETURNING b) SELECT b FROM x", "SELECT a INTO b FROM c",
            "SELECT pay(1)", "SELECT * FROM pay(1)", "CALL pay()", "DO $$ $$", "COPY a FROM STDIN", "", nil, "TRUNCATE a", "PREPARE TRANSACTION 'x'",
            "EXPLAIN ANALYZE DELETE FROM a", "SET x = 1; DELETE FROM a", "BEGIN; UPDATE a SET b = 1; COMMIT", "ROLLBACK; CALL pay()", "SHOW x;\nTRUNCATE a",
            "SELECT a FROM b WHERE c = E'\\''; UPDATE a SET b = 'x'", "SELECT a FROM b -- it's\n; UPDATE a SET b = 'x'", "SELECT a FROM b /* it's */; DELETE FROM a WHERE c = 'x'",
            "SELECT $$it's$$ FROM b; UPDATE a SET b = 'x'", "SELECT a FROM b WHERE c = 'open; DELETE FROM a", "SELECT a FROM b /* no end; DELETE FROM a",
            "SELECT a FROM b WHERE c = E'\\''; DELETE FROM a --'"],
    begin: ["BEGIN", "BEGIN ISOLATION LEVEL SERIALIZABLE", "start transaction"],
    commit: ["COMMIT", " end"],
    rollback: ["ROLLBACK", "ROLLBACK /* x */", "abort"]
  }.each do |kind, statements|
    statements.each do |sql|
      define_method("test_#{kind}_#{sql.inspect}") { assert_equal kind, ShopDr::Database::Sql.kind(sql) }
    end
  end
end
