# frozen_string_literal: true

module ShopDr
  module Database
    # What a statement does, by its first word. In doubt it writes.
    module Sql
      COMMENTS = %r{\A(?:\s+|--[^\n]*\n|/\*.*?\*/)+}m
      KINDS = {
        "BEGIN" => :begin, "START" => :begin, "COMMIT" => :commit, "END" => :commit, "PREPARE" => :write, "ROLLBACK" => :rollback, "ABORT" => :rollback,
        "SAVEPOINT" => :read, "RELEASE" => :read, "SHOW" => :read, "SET" => :read, "RESET" => :read, "DISCARD" => :read, "CLOSE" => :read, "DEALLOCATE" => :read,
        "LISTEN" => :read, "UNLISTEN" => :read, "TABLE" => :read, "VALUES" => :read, "SELECT" => :read, "WITH" => :read, "FETCH" => :read, "DECLARE" => :read
      }.freeze
      # In a SELECT or WITH: another statement inside, or a function of its own, which may write.
      WRITES = /\b(?:INSERT|UPDATE|DELETE|MERGE|INTO)\b/i
      LOCKS = /\bFOR\s+(?:NO\s+KEY\s+)?UPDATE\b/i
      CALLS = /\bFROM\s+[\w".]+\s*\(/i
      FROM = /\bFROM\b/i
      # What says nothing of a statement, each to its own end, from left to right: a quote in a comment opens no text, a comment's sign in a text no comment.
      SILENT = %r{\be'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/}im
      # Several statements in one: the first word says nothing of the others.
      ANOTHER = /;\s*\S/
      # Of a text or a comment.
      HALF = %r{'|/\*|\*/|\$\w*\$}

      module_function

      # :begin, :commit, :rollback, :read or :write.
      def kind(sql)
        text = sql.to_s.sub(COMMENTS, "")
        word = text[/\A\w+/].to_s.upcase
        kind = KINDS.fetch(word) { return :write }
        text = text.gsub(SILENT, " ")
        # A text or a comment that has no end, or ends otherwise than it was read here, may hide anything.
        return :write if text.match?(ANOTHER) || text.match?(HALF)

        return :read if kind == :rollback && text.match?(/\AROLLBACK\s+(?:\w+\s+)?TO\b/i)
        return :write if %w[SELECT WITH].include?(word) && writes?(text)

        kind
      end

      def writes?(text)
        bare = text.gsub(LOCKS, "")
        bare.match?(WRITES) || bare.match?(CALLS) || (!bare.match?(FROM) && bare.include?("("))
      end
    end
  end
end
