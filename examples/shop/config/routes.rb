# frozen_string_literal: true

Rails.application.routes.draw do
  root "products#front"

  get "health", to: "health#show"
  get "health/deep", to: "health#deep"

  get "products", to: "products#index"
  get "products/:id/image", to: "products#image", constraints: { id: /\d+/ }

  post "cart/items", to: "carts#create"
  post "orders", to: "orders#create"
  post "uploads", to: "uploads#create"
end
